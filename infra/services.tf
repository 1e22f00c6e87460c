locals {
  # The APIs, and what calls them.
  services = {
    "aiplatform.googleapis.com"           = "runs, training jobs, registry, endpoints, experiments, schedules"
    "artifactregistry.googleapis.com"     = "images and packages"
    "bigquery.googleapis.com"             = "sources; Vertex AI writes logged requests and batch predictions"
    "cloudbuild.googleapis.com"           = "the triggers"
    "cloudresourcemanager.googleapis.com" = "the project's number, for Vertex's client; IAM of the project"
    "cloudscheduler.googleapis.com"       = "ticks of schedules"
    "compute.googleapis.com"              = "machines of Dataflow and of training"
    "dataflow.googleapis.com"             = "Beam's steps beyond one machine"
    "iam.googleapis.com"                  = "service accounts and roles"
    "iamcredentials.googleapis.com"       = "tokens of Pub/Sub and Cloud Scheduler for the events service"
    "logging.googleapis.com"              = "logs of tasks, builds and containers"
    "monitoring.googleapis.com"           = "metrics and alerts"
    "pubsub.googleapis.com"               = "events"
    "run.googleapis.com"                  = "the events service"
    "serviceusage.googleapis.com"         = "enabling APIs, and asking which are"
    "storage.googleapis.com"              = "buckets"
  }
}

resource "google_project_service" "enabled" {
  for_each = local.services

  service = each.key

  # Others may use an API too: `terraform destroy` leaves it on.
  disable_on_destroy = false
}

# The two that Terraform asks before it makes anything: their APIs are enabled by hand, once (docs/infrastructure.md). Waiting for
# the resource above would leave what follows from them unknown in every plan that enables an API.
data "google_project" "this" {
  project_id = var.project
}

data "google_storage_project_service_account" "this" {}
