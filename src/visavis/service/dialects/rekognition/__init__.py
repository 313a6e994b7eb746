"""The dialect of Amazon Rekognition."""
