"""Everything one environment serves, at one revision: the document, its bytes, and its loading."""
