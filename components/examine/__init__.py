"""All that is known of a snapshot's faults put together: anomalies, drift, row-level findings; and the data report."""
