
mod extracts;
