mod extracts;
