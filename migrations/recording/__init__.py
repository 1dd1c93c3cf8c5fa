"""The SQL of revision 0004, which records changes: documents, gate, events, triggers."""
