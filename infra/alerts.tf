resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  type         = "email"
  display_name = "Headrace: ${each.key}"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.enabled]
}

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  # A line is raised when the metric has been above the threshold for the duration.
  thresholds = {
    dead_letters = {
      title     = "Headrace: an event could not be handled"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.dead.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      above     = 0
      duration  = "0s"
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      remedy    = "Read it with `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead.name} --limit 10`; the reason stands in its attributes or in the log of headrace-events. What is published to ${google_pubsub_topic.events.name} again is tried again."
      severity  = "ERROR"
      condition = "messages in ${google_pubsub_subscription.dead.name}"
    }
    late_events = {
      title     = "Headrace: events wait"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"headrace-events-push\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      above     = 1800
      duration  = "300s"
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      remedy    = "The service headrace-events answers with errors or not at all: see its log in Cloud Run."
      severity  = "WARNING"
      condition = "the oldest event is older than half an hour"
    }
    prediction_errors = {
      title     = "Headrace: an endpoint answers with errors"
      filter    = "resource.type = \"aiplatform.googleapis.com/Endpoint\" AND metric.type = \"aiplatform.googleapis.com/prediction/online/error_count\""
      above     = 0.1
      duration  = "300s"
      aligner   = "ALIGN_RATE"
      reducer   = "REDUCE_SUM"
      remedy    = "`headrace models rollback NAME --reason ...` serves again what the endpoint served before."
      severity  = "CRITICAL"
      condition = "more than one error in ten seconds, for five minutes"
    }
    slow_answers = {
      title     = "Headrace: an endpoint is slow"
      filter    = "resource.type = \"aiplatform.googleapis.com/Endpoint\" AND metric.type = \"aiplatform.googleapis.com/prediction/online/prediction_latencies\""
      above     = var.slow_answer_ms
      duration  = "600s"
      aligner   = "ALIGN_PERCENTILE_99"
      reducer   = "REDUCE_MAX"
      remedy    = "Compare with the version before (`headrace models compare NAME`); raise the endpoint's replicas if traffic has grown."
      severity  = "WARNING"
      condition = "the 99th percentile is above ${var.slow_answer_ms} ms for ten minutes"
    }
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.thresholds

  display_name          = each.value.title
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = each.value.condition
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = each.value.duration
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = startswith(each.value.filter, "resource.type = \"aiplatform") ? ["resource.label.endpoint_id"] : []
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    content   = each.value.remedy
    mime_type = "text/markdown"
  }

  depends_on = [google_project_service.enabled]
}

resource "google_monitoring_alert_policy" "failed_runs" {
  display_name          = "Headrace: a run failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "a pipeline's state is FAILED"
    condition_matched_log {
      filter = "resource.type=\"aiplatform.googleapis.com/PipelineJob\" AND jsonPayload.state=\"PIPELINE_STATE_FAILED\""
    }
  }

  # A policy on logs has to say how often it may tell.
  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    content   = "The run's page in Vertex AI Pipelines shows the task that failed, and its log. A gate that refuses a model fails no run."
    mime_type = "text/markdown"
  }

  depends_on = [google_project_service.enabled]
}
