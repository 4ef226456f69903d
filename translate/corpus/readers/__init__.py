"""Readers of the formats that parallel text comes in. Each yields raw pairs, source first."""
