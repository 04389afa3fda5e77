"""Builders of Kubernetes objects, each named by its result; pure. The controllers' `desired` modules combine them."""
