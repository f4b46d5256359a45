"""Peers as method files: each drives one other optimizer, through its public interface, as a method of ours."""
