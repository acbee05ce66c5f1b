mod access_tokens;
mod tokens;
