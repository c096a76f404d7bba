from django.db import models


class Message(models.Model):
    room = models.SlugField()
    author = models.CharField(max_length=150)
    text = models.CharField(max_length=2000)
    sent_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return f"{self.author}: {self.text}"
