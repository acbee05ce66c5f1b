mod order;
mod properties;
mod references;
mod requests;
