"""The conformance kit: plays the service against a runtime or an extension, and says rule by rule what it did."""
