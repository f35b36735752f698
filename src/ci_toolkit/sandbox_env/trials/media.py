"""Trials of the group image and media."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

TRIALS: Final = {
    "pillow": Trial(
        "draws, turns and saves a picture in four formats",
        """
from PIL import Image, ImageDraw, ImageFont
picture = Image.new("RGB", (200, 100), "white")
ImageDraw.Draw(picture).text((10, 10), "Hello", fill="black", font=ImageFont.load_default(32))
for kind in ("png", "jpg", "gif", "webp"):
    picture.rotate(90, expand=True).save(f"picture.{kind}")
    assert Image.open(f"picture.{kind}").size == (100, 200)
""",
    ),
    "opencv-python": Trial(
        "finds the edges and outlines of two shapes",
        """
import cv2, numpy as np
picture = np.zeros((200, 200), np.uint8)
cv2.rectangle(picture, (20, 20), (80, 80), 255, -1)
cv2.circle(picture, (140, 140), 30, 255, -1)
outlines, _ = cv2.findContours(cv2.Canny(picture, 50, 150), cv2.RETR_EXTERNAL, 2)
assert len(outlines) == 2 and cv2.imwrite("shapes.png", picture)
""",
    ),
    "imageio": Trial(
        "writes an animated GIF, and reads it",
        """
import imageio.v3 as iio, numpy as np
frames = np.stack([np.full((32, 32, 3), shade, np.uint8) for shade in (0, 120, 240)])
iio.imwrite("fade.gif", frames, duration=100)
assert iio.imread("fade.gif").shape == (3, 32, 32, 3)
""",
    ),
    "moviepy": Trial(
        "makes an MP4 film from frames, and reads its length",
        """
import numpy as np
from moviepy import ImageSequenceClip, VideoFileClip
frames = [np.full((64, 64, 3), shade, np.uint8) for shade in range(0, 250, 10)]
ImageSequenceClip(frames, fps=25).write_videofile("fade.mp4", logger=None)
with VideoFileClip("fade.mp4") as film:
    assert film.size == [64, 64] and abs(film.duration - 1) < 0.1
""",
    ),
    "pydub": Trial(
        "mixes tones into a WAV file and into an MP3 file",
        """
from pydub import AudioSegment
from pydub.generators import Sine
low, high = (Sine(pitch).to_audio_segment(duration=500) for pitch in (220, 440))
mixed = (low.overlay(high) + low).fade_out(100)
mixed.export("tones.wav", format="wav")
assert len(AudioSegment.from_wav("tones.wav")) == 1000
mixed.export("tones.mp3", format="mp3")
assert len(open("tones.mp3", "rb").read()) > 5000
""",
    ),
    "svgwrite": Trial(
        "draws an SVG",
        """
import svgwrite
drawing = svgwrite.Drawing("drawing.svg", size=(200, 100))
drawing.add(drawing.circle((50, 50), 40, fill="red"))
drawing.add(drawing.text("Hello", insert=(100, 50)))
drawing.save()
assert "<circle" in open("drawing.svg").read()
""",
    ),
    "Wand": Trial(
        "draws, blurs and converts a picture with ImageMagick",
        """
from wand.color import Color
from wand.image import Image
with Image(width=100, height=50, background=Color("red")) as picture:
    picture.gaussian_blur(sigma=2)
    picture.resize(50, 25)
    picture.save(filename="small.png")
with Image(filename="small.png") as small:
    assert small.size == (50, 25)
""",
    ),
}
