mod decoding;
