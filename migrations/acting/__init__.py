"""The SQL of revision 0003: who acts, in which change, and what the policies ask of it."""
