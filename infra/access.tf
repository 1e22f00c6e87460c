# Who may do what. Nobody has roles/owner, roles/editor or roles/viewer; on the project stands only what cannot stand on one
# bucket, data set, repository, account or service. Each grant says which calls need it: docs/infrastructure.md is made of them,
# and a test holds both together.

locals {
  # account -> role on the project -> the calls that need it
  project_grants = {
    headrace-pipelines = {
      "roles/aiplatform.user"    = "tasks record their artifacts; customJobs.create, models.upload, endpoints.deployModel, batchPredictionJobs.create, registry and experiments in metadataStores"
      "roles/bigquery.jobUser"   = "ingest asks for a query or an export (jobs.insert)"
      "roles/dataflow.developer" = "statistics, evaluate and batch prediction start Beam's jobs (jobs.create, jobs.get)"
      "roles/logging.logWriter"  = "tasks' output"
    }
    headrace-dataflow = {
      "roles/dataflow.worker" = "a worker takes its share of the work and reports (workItems.lease)"
    }
    headrace-serving = {
      "roles/logging.logWriter" = "the server's output"
    }
    headrace-events = {
      "headraceRunStarter" = "a run is started, and looked up before (pipelineJobs.create, pipelineJobs.get)"
    }
    headrace-ci-check = {
      "roles/logging.logWriter" = "the build's log"
    }
    headrace-ci-main = {
      "roles/logging.logWriter" = "the build's log"
    }
    headrace-ci-release = {
      "roles/logging.logWriter" = "the build's log"
    }
  }

  # bucket -> account -> role -> the calls that need it
  bucket_grants = {
    main = {
      headrace-pipelines = {
        "roles/storage.objectUser"         = "artifacts of runs, bundles of models (objects.insert, get, list, delete)"
        "roles/storage.legacyBucketReader" = "Beam asks about the bucket of its temporary files before it starts a job (buckets.get)"
      }
      headrace-dataflow = {
        "roles/storage.objectUser" = "snapshots are read, results and temporary files written (objects.insert, get, list, delete)"
      }
    }
    data = {
      headrace-pipelines = { "roles/storage.objectViewer" = "ingest reads sources (objects.get, list)" }
      headrace-dataflow  = { "roles/storage.objectViewer" = "Beam reads sources (objects.get, list)" }
    }
    events = {
      headrace-events = { "roles/storage.objectUser" = "rules and compiled pipelines are read, claims written by generation match (objects.get, insert, delete)" }
    }
    releases = {
      headrace-ci-main    = { "roles/storage.objectUser" = "what passed staging is kept (objects.insert, get, list)" }
      headrace-ci-release = { "roles/storage.objectUser" = "what passed staging is read, and marked as released (objects.insert, get, list)" }
    }
  }

  # data set -> account -> role -> the calls that need it
  dataset_grants = {
    headrace_data = {
      headrace-pipelines = { "roles/bigquery.dataViewer" = "ingest reads or exports a table or a query's tables (tables.get, getData, export)" }
    }
  }

  # repository -> account -> role -> the calls that need it. Images of tasks, jobs and endpoints are pulled by Vertex AI's own
  # service agent, whatever account they work as.
  repository_grants = {
    images = {
      headrace-dataflow   = { "roles/artifactregistry.reader" = "workers pull their image" }
      headrace-ci-check   = { "roles/artifactregistry.reader" = "images are built with the cache of main's" }
      headrace-ci-main    = { "roles/artifactregistry.writer" = "images are pushed" }
      headrace-ci-release = { "roles/artifactregistry.writer" = "a digest that passed gets the release's tag" }
    }
    packages = {
      headrace-ci-release = { "roles/artifactregistry.writer" = "the wheel is uploaded" }
    }
  }

  # account that is used -> account that uses it -> the calls that need it. All are roles/iam.serviceAccountUser (actAs).
  acting_grants = {
    headrace-pipelines = {
      headrace-pipelines = "a task starts a training job as its own account (customJobs.create)"
      headrace-events    = "the run that an event starts works as this account (pipelineJobs.create)"
    }
    headrace-dataflow = { headrace-pipelines = "a task starts a job whose workers are this account (dataflow jobs.create)" }
    headrace-serving  = { headrace-pipelines = "a model is deployed with this account (endpoints.deployModel)" }
  }
}

# What starts runs, and can do nothing else in Vertex AI: no lists, no jobs, no models, no endpoints, no predictions.
resource "google_project_iam_custom_role" "run_starter" {
  role_id     = "headraceRunStarter"
  title       = "Headrace: start runs"
  description = "Start pipeline runs, and see what became of one that was started before."

  permissions = [
    "aiplatform.pipelineJobs.create",
    "aiplatform.pipelineJobs.get",
  ]

  depends_on = [google_project_service.enabled]
}

locals {
  known = keys(google_service_account.account)

  roles = { headraceRunStarter = google_project_iam_custom_role.run_starter.name }

  project_rows = merge([
    for account, grants in local.project_grants : {
      for role, because in grants : "${account} ${role}" => { account = account, role = role }
    } if contains(local.known, account)
  ]...)

  bucket_rows = merge(flatten([
    for bucket, accounts in local.bucket_grants : [
      for account, grants in accounts : {
        for role, because in grants : "${bucket} ${account} ${role}" => { bucket = bucket, account = account, role = role }
      } if contains(local.known, account)
    ]
  ])...)

  dataset_rows = merge(flatten([
    for dataset, accounts in local.dataset_grants : [
      for account, grants in accounts : {
        for role, because in grants : "${dataset} ${account} ${role}" => { dataset = dataset, account = account, role = role }
      } if contains(local.known, account)
    ]
  ])...)

  repositories = merge(
    { images = google_artifact_registry_repository.images },
    local.builds ? { packages = google_artifact_registry_repository.packages[0] } : {},
  )

  repository_rows = merge(flatten([
    for repository, accounts in local.repository_grants : [
      for account, grants in accounts : {
        for role, because in grants : "${repository} ${account} ${role}" => { repository = repository, account = account, role = role }
      } if contains(local.known, account)
    ]
  ])...)

  acting_rows = merge([
    for used, users in local.acting_grants : {
      for user, because in users : "${user} as ${used}" => { used = used, user = user } if contains(local.known, user)
    }
  ]...)
}

resource "google_project_iam_member" "account" {
  for_each = local.project_rows

  project = var.project
  role    = lookup(local.roles, each.value.role, each.value.role)
  member  = google_service_account.account[each.value.account].member
}

resource "google_storage_bucket_iam_member" "account" {
  for_each = local.bucket_rows

  bucket = google_storage_bucket.bucket[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.account[each.value.account].member
}

resource "google_storage_managed_folder_iam_member" "serving" {
  bucket         = google_storage_managed_folder.models.bucket
  managed_folder = google_storage_managed_folder.models.name
  role           = "roles/storage.objectViewer" # the container loads its bundle (objects.get, list)
  member         = google_service_account.account["headrace-serving"].member
}

resource "google_bigquery_dataset_iam_member" "account" {
  for_each = local.dataset_rows

  dataset_id = google_bigquery_dataset.dataset[each.value.dataset].dataset_id
  role       = each.value.role
  member     = google_service_account.account[each.value.account].member
}

resource "google_artifact_registry_repository_iam_member" "account" {
  for_each = local.repository_rows

  location   = local.repositories[each.value.repository].location
  repository = local.repositories[each.value.repository].name
  role       = each.value.role
  member     = google_service_account.account[each.value.account].member
}

resource "google_artifact_registry_repository_iam_member" "other_environments" {
  for_each = var.image_readers

  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = each.key
}

resource "google_service_account_iam_member" "acts_as" {
  for_each = local.acting_rows

  service_account_id = google_service_account.account[each.value.used].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.account[each.value.user].member
}

# Vertex AI's own agent makes containers work as headrace-serving. Google asks for this role on that one account, and for no less:
# https://cloud.google.com/vertex-ai/docs/general/custom-service-account
resource "google_service_account_iam_member" "vertex_agent" {
  service_account_id = google_service_account.account["headrace-serving"].name
  role               = "roles/iam.serviceAccountAdmin"
  member             = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-aiplatform.iam.gserviceaccount.com"

  depends_on = [google_vertex_ai_endpoint.endpoint]
}
