//! `ast` to text: format_query, one line or pretty over several.
