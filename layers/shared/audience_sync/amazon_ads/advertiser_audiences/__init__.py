"""Amazon's audience API: audiences of an advertiser or an AMC connection, filled by asynchronous jobs."""
