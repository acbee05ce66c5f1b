//! Tenants: isolation, policies, tolerances.

mod isolation;
mod policies;
mod tolerances;
