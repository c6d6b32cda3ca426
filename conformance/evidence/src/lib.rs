//! What a verdict rests on: the event log, captures with comments, keys and ladders.
