"""The browser client and the chat page in a real Chromium."""
