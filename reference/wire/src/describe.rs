//! Dissection for people: payloads as a tree of labels and values.
