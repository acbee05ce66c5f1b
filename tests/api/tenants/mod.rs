mod isolation;
mod policies;
mod tolerances;
