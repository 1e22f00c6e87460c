output "platform" {
  description = "The registry's address, for --platform, HEADRACE_PLATFORM and the pipelines' parameter `platform`; with &image= of the serving image added where models are registered."
  value       = "vertex:${var.project}/${var.region}?bucket=gs://${google_storage_bucket.bucket["main"].name}/models"
}

output "root" {
  description = "The pipeline root: submit.vertex.root in a spec."
  value       = "gs://${google_storage_bucket.bucket["main"].name}/runs"
}

output "accounts" {
  description = "The service accounts by what they are for: submit.vertex.service_account and others in a spec."
  value       = { for id, account in google_service_account.account : trimprefix(id, "headrace-") => account.email }
}

output "images" {
  description = "Where images are pushed to."
  value       = local.image_substitutions["_IMAGES"]
}

output "data" {
  description = "Where new files go: each that arrives is an event."
  value       = "gs://${google_storage_bucket.bucket["data"].name}"
}

output "events" {
  description = "The address of the events service; null where there is none."
  value       = one(google_cloud_run_v2_service.events[*].uri)
}

output "endpoints" {
  description = "The endpoints' resource names by their names in specs."
  value       = { for name, endpoint in google_vertex_ai_endpoint.endpoint : name => endpoint.id }
}
