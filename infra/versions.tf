terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.0, < 8.0"
    }
  }

  # Which bucket keeps the state is said at `terraform init -backend-config=bucket=...`: see docs/infrastructure.md.
  backend "gcs" {
    prefix = "headrace"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  default_labels = {
    managed-by  = "terraform"
    application = "headrace"
    environment = var.environment
  }
}
