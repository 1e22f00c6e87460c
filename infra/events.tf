# A new file, a message or a schedule starts a pipeline:
#
#   data bucket -> topic headrace-events -> push -> Cloud Run headrace-events -> Vertex AI
#   Cloud Scheduler -----------------------------------^
#
# What cannot be handled ten times goes to headrace-events-dead, which an alert watches.

locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"

  registry = "vertex:${var.project}/${var.region}?bucket=gs://${local.bucket}/models&image=${var.serving_image}"

  events_environment = {
    HEADRACE_EVENTS_RULES           = "gs://${local.bucket}-events/rules.yaml"
    HEADRACE_EVENTS_LEDGER          = "gs://${local.bucket}-events/ledger"
    HEADRACE_EVENTS_ON              = "vertex:${var.project}/${var.region}"
    HEADRACE_EVENTS_ROOT            = "gs://${local.bucket}/runs"
    HEADRACE_EVENTS_SERVICE_ACCOUNT = google_service_account.account["headrace-pipelines"].email
    HEADRACE_EVENTS_AUTH            = "iam" # Cloud Run checks the tokens
    HEADRACE_EVENTS_CALLERS         = local.events ? google_service_account.account["headrace-events-invoker"].email : ""
    HEADRACE_PLATFORM               = local.registry

    # Otherwise the storage client asks about the bucket itself, for traces that nobody collects, which takes a role more.
    DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA = "true"
  }
}

resource "google_pubsub_topic" "events" {
  name                       = "headrace-events"
  message_retention_duration = "604800s"

  depends_on = [google_project_service.enabled]
}

resource "google_pubsub_topic" "dead" {
  name                       = "headrace-events-dead"
  message_retention_duration = "604800s"

  depends_on = [google_project_service.enabled]
}

resource "google_pubsub_subscription" "dead" {
  name                       = "headrace-events-dead"
  topic                      = google_pubsub_topic.dead.id
  message_retention_duration = "604800s"

  # It is read when something went wrong, and must be there then.
  expiration_policy {
    ttl = ""
  }
}

resource "google_storage_notification" "files" {
  bucket         = google_storage_bucket.bucket["data"].name
  topic          = google_pubsub_topic.events.id
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE"]

  depends_on = [google_pubsub_topic_iam_member.storage]
}

resource "google_pubsub_topic_iam_member" "storage" {
  topic  = google_pubsub_topic.events.id
  role   = "roles/pubsub.publisher" # Cloud Storage tells of new files
  member = data.google_storage_project_service_account.this.member
}

resource "google_cloud_run_v2_service" "events" {
  count = local.events ? 1 : 0

  name     = "headrace-events"
  location = var.region
  # Pub/Sub and Cloud Scheduler of this project count as internal.
  ingress             = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  deletion_protection = false # it keeps nothing

  template {
    service_account                  = google_service_account.account["headrace-events"].email
    max_instance_request_concurrency = 8
    timeout                          = "300s"

    scaling {
      min_instance_count = 0
      max_instance_count = 3
    }

    containers {
      image   = var.events_image
      command = ["headrace"]
      args    = ["watch", "--http"]

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = "1", memory = "2Gi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.events_environment
        content {
          name  = env.key
          value = env.value
        }
      }

      startup_probe {
        period_seconds    = 5
        failure_threshold = 12
        http_get {
          path = "/health"
        }
      }

      liveness_probe {
        period_seconds = 30
        http_get {
          path = "/health"
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = var.serving_image != ""
      error_message = "serving_image: expected the serving image by digest beside events_image: runs that events start register models with it. Received: nothing."
    }
  }

  depends_on = [
    google_project_iam_member.account,
    google_storage_bucket_iam_member.account,
    google_service_account_iam_member.acts_as,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  count = local.events ? 1 : 0

  name     = google_cloud_run_v2_service.events[0].name
  location = google_cloud_run_v2_service.events[0].location
  role     = "roles/run.invoker" # POST /pubsub and /schedule/NAME
  member   = google_service_account.account["headrace-events-invoker"].member
}

resource "google_pubsub_subscription" "events" {
  count = local.events ? 1 : 0

  name                       = "headrace-events-push"
  topic                      = google_pubsub_topic.events.id
  ack_deadline_seconds       = 300 # longer than a claim in the ledger, 240 s
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = "${google_cloud_run_v2_service.events[0].uri}/pubsub"
    oidc_token {
      service_account_email = google_service_account.account["headrace-events-invoker"].email
      audience              = google_cloud_run_v2_service.events[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 10
  }

  expiration_policy {
    ttl = ""
  }

  depends_on = [google_pubsub_topic_iam_member.dead, google_cloud_run_v2_service_iam_member.invoker]
}

resource "google_pubsub_topic_iam_member" "dead" {
  topic  = google_pubsub_topic.dead.id
  role   = "roles/pubsub.publisher" # Pub/Sub itself forwards what failed
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead" {
  count = local.events ? 1 : 0

  subscription = google_pubsub_subscription.events[0].name
  role         = "roles/pubsub.subscriber" # and acknowledges it where it came from
  member       = local.pubsub_agent
}

resource "google_cloud_scheduler_job" "tick" {
  for_each = local.events ? var.schedules : {}

  name             = "headrace-${each.key}"
  description      = "Tick for the rule ${each.key} of headrace's events."
  region           = var.region
  schedule         = each.value.cron
  time_zone        = each.value.time_zone
  attempt_deadline = "300s"

  retry_config {
    retry_count          = 5
    min_backoff_duration = "10s"
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.events[0].uri}/schedule/${each.key}"
    oidc_token {
      service_account_email = google_service_account.account["headrace-events-invoker"].email
      audience              = google_cloud_run_v2_service.events[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
