variable "project" {
  description = "The Google Cloud project of this environment. Each environment has a project of its own."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Expected a project's id: 6 to 30 small letters, digits and hyphens, a letter first. Received: ${var.project}."
  }
}

variable "region" {
  description = "Where everything is: Vertex AI, buckets, images, data sets."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Expected a region such as europe-west4. Received: ${var.region}."
  }
}

variable "environment" {
  description = "What this environment is called, in buckets' names and labels: staging, production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,19}$", var.environment)) && var.environment != "releases"
    error_message = "Expected 2 to 20 small letters and digits, a letter first, and not `releases`. Received: ${var.environment}."
  }
}

variable "runs_kept_days" {
  description = "After how many days the files of pipeline runs are deleted. Models, data and the ledger of events are kept."
  type        = number
  default     = 90

  validation {
    condition     = var.runs_kept_days >= 1
    error_message = "Expected a day or more. Received: ${var.runs_kept_days}."
  }
}

variable "requests_kept_days" {
  description = "After how many days logged requests and batch predictions are deleted from BigQuery."
  type        = number
  default     = 90

  validation {
    condition     = var.requests_kept_days >= 1
    error_message = "Expected a day or more. Received: ${var.requests_kept_days}."
  }
}

variable "submitters" {
  description = "Who else may start runs here, as IAM members (group:ml@example.com). Here also stands the build's account where the build is in another project."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.submitters : can(regex("^(user|group|serviceAccount|principal|principalSet):.+$", member))])
    error_message = "Expected members such as group:ml@example.com; allUsers and allAuthenticatedUsers are nobody."
  }
}

variable "image_readers" {
  description = "Accounts of other environments' projects that pull images from this one's repository, as IAM members."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.image_readers : can(regex("^(group|serviceAccount):.+$", member))])
    error_message = "Expected members such as serviceAccount:headrace-pipelines@PROJECT.iam.gserviceaccount.com."
  }
}

variable "build_repository" {
  description = "The repository that Cloud Build is connected to, projects/P/locations/R/connections/C/repositories/N. Empty: no triggers here."
  type        = string
  default     = ""

  validation {
    condition     = var.build_repository == "" || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.build_repository))
    error_message = "Expected projects/P/locations/R/connections/C/repositories/N. Received: ${var.build_repository}."
  }
}

variable "staging" {
  description = "Where the build's end-to-end run goes, if that is not this environment: its project and its environment's name."
  type = object({
    project     = string
    environment = optional(string, "staging")
  })
  default  = null
  nullable = true
}

variable "build_spec" {
  description = "The spec of the build's end-to-end run, a path in the repository."
  type        = string
  default     = "examples/churn/spec.yaml"
}

variable "release_approval" {
  description = "Whether a person has to approve a release's build."
  type        = bool
  default     = true
}

variable "events_image" {
  description = "The components' image by digest, which runs the events service. Empty: no service, no subscription, no schedules."
  type        = string
  default     = ""

  validation {
    condition     = var.events_image == "" || can(regex("@sha256:[0-9a-f]{64}$", var.events_image))
    error_message = "Expected an image by digest, as tags move: REGION-docker.pkg.dev/PROJECT/headrace/components@sha256:... Received: ${var.events_image}."
  }
}

variable "serving_image" {
  description = "The serving image by digest, which the registry gives to models that events' runs register. Needed with events_image."
  type        = string
  default     = ""

  validation {
    condition     = var.serving_image == "" || can(regex("@sha256:[0-9a-f]{64}$", var.serving_image))
    error_message = "Expected an image by digest, as tags move: REGION-docker.pkg.dev/PROJECT/headrace/serving@sha256:... Received: ${var.serving_image}."
  }
}

variable "schedules" {
  description = "Ticks for the rules of events, by the rule's name: a cron line and a time zone."
  type = map(object({
    cron      = string
    time_zone = optional(string, "Etc/UTC")
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.schedules) : can(regex("^[a-z][a-z0-9-]{0,62}$", name))])
    error_message = "Expected names of small letters, digits and hyphens, a letter first."
  }
}

variable "endpoints" {
  description = "Vertex AI endpoints, by the name in a spec's deploy.endpoint. `id` is the number in its address; `sample` the share of requests that is logged to BigQuery."
  type = map(object({
    id     = string
    sample = optional(number, 0)
  }))
  default = {}

  validation {
    condition     = alltrue([for endpoint in values(var.endpoints) : can(regex("^[1-9][0-9]{0,9}$", endpoint.id)) && endpoint.sample >= 0 && endpoint.sample <= 1])
    error_message = "Expected an id of up to ten digits, no zero first, and a sample from 0 to 1."
  }
}

variable "alert_emails" {
  description = "Who gets alerts. Empty: alerts are raised and shown in Cloud Monitoring, and nobody is told."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "Expected addresses of e-mail."
  }
}

variable "slow_answer_ms" {
  description = "Above how many milliseconds an endpoint's 99th percentile raises an alert."
  type        = number
  default     = 500
}
