//! Reports made from results: JUnit, JSON, Markdown and console.
