//! E. The Dockerfile, the planner, the policy (attacks 85 to 96).
