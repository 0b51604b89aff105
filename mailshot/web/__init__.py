"""What customers reach over HTTP: tracking, unsubscribing, preferences; and the local inbox. Nothing here can send."""
