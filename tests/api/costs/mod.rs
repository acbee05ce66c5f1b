//! The cost contract: calls to DynamoDB and capacity units.

mod calls;
mod group_costs;
mod user_costs;
