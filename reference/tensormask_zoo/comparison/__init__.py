"""Proposal systems compared on one data set with one budget."""
