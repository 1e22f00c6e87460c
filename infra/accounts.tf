locals {
  builds = var.build_repository != ""
  events = var.events_image != ""

  accounts = {
    headrace-pipelines = "Tasks of pipelines, and training jobs"
    headrace-dataflow  = "Workers of Dataflow"
    headrace-serving   = "Containers behind endpoints"
  }

  event_accounts = local.events ? {
    headrace-events         = "The service that starts runs on events"
    headrace-events-invoker = "Pub/Sub and Cloud Scheduler, when they call that service"
  } : {}

  build_accounts = local.builds ? {
    headrace-ci-check   = "Builds of pull requests: strangers' code"
    headrace-ci-main    = "Builds of the main branch"
    headrace-ci-release = "Builds of releases"
  } : {}
}

resource "google_service_account" "account" {
  for_each = merge(local.accounts, local.event_accounts, local.build_accounts)

  account_id   = each.key
  display_name = each.value

  depends_on = [google_project_service.enabled]
}
