mod calls;
mod group_costs;
mod user_costs;
