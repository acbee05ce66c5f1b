mod isolation;
mod policies;
