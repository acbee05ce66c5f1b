pub(crate) mod group_costs;
pub(crate) mod user_costs;
