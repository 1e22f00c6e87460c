# Endpoints are addresses; which models answer there, and with what share, is changed by runs, rollouts and people, and not
# by Terraform. An endpoint without a model costs nothing.
resource "google_vertex_ai_endpoint" "endpoint" {
  for_each = var.endpoints

  name         = each.value.id
  display_name = each.key
  description  = "Made by Terraform; headrace deploys to it by its name."
  location     = var.region

  # By this label headrace finds the endpoint of a name.
  labels = {
    headrace-endpoint = substr(replace(lower(each.key), "/[^a-z0-9_-]/", "-"), 0, 63)
  }

  dynamic "predict_request_response_logging_config" {
    for_each = each.value.sample > 0 ? [each.value.sample] : []
    content {
      enabled       = true
      sampling_rate = predict_request_response_logging_config.value
      bigquery_destination {
        output_uri = "bq://${var.project}.${google_bigquery_dataset.dataset["headrace_requests"].dataset_id}.${replace(each.key, "/[^a-zA-Z0-9_]/", "_")}"
      }
    }
  }

  lifecycle {
    ignore_changes = [traffic_split]
  }

  depends_on = [google_project_service.enabled]
}
