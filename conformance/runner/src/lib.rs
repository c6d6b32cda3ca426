//! Binds cases to a world, schedules them, times them out and gives verdicts.
