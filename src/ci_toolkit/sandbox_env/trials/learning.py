"""Trials of the group machine learning."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

TRIALS: Final = {
    "scikit-learn": Trial(
        "trains a random forest on the iris data",
        """
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
x, y = load_iris(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, random_state=0)
assert RandomForestClassifier(random_state=0).fit(x, y).score(x_test, y_test) > 0.9
""",
    ),
    "torch": Trial(
        "trains a small network by gradient descent",
        """
import torch
torch.manual_seed(0)
x = torch.linspace(-1, 1, 64).unsqueeze(1)
y = x**2
net = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(300):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
assert loss.item() < 0.01
""",
    ),
    "torchvision": Trial(
        "transforms a picture, runs a ResNet, and drops overlapping boxes",
        """
import torch, torchvision
from torchvision.transforms import v2
picture = torch.randint(0, 256, (3, 200, 300), dtype=torch.uint8)
small = v2.Compose([v2.Resize((64, 64)), v2.ToDtype(torch.float32, scale=True)])(picture)
with torch.no_grad():
    assert torchvision.models.resnet18().eval()(small.unsqueeze(0)).shape == (1, 1000)
boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]
""",
    ),
    "torchaudio": Trial(
        "resamples a tone and finds its pitch in a spectrogram",
        """
import torch, torchaudio
tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
half = torchaudio.functional.resample(tone, 16000, 8000)
spectrum = torchaudio.transforms.Spectrogram(n_fft=400)(half).mean(dim=1)
assert half.shape == (8000,) and spectrum.argmax().item() * 8000 / 400 == 1000
""",
    ),
    "xgboost": Trial(
        "trains boosted trees on the breast cancer data",
        """
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
x, y = load_breast_cancer(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, random_state=0)
assert xgboost.XGBClassifier(n_estimators=30).fit(x, y).score(x_test, y_test) > 0.9
""",
    ),
    "spacy": Trial(
        "splits text into sentences and words, and finds names by a rule",
        """
import spacy
nlp = spacy.blank("en")
nlp.add_pipe("sentencizer")
nlp.add_pipe("entity_ruler").add_patterns([{"label": "ORG", "pattern": "Bell Labs"}])
text = nlp("Shannon worked at Bell Labs. He didn't stop there.")
assert len(list(text.sents)) == 2 and "n't" in [word.text for word in text]
assert [(each.text, each.label_) for each in text.ents] == [("Bell Labs", "ORG")]
""",
    ),
    "nltk": Trial(
        "stems words, counts bigrams, parses by a grammar",
        """
import nltk
from nltk.stem import SnowballStemmer
words = nltk.wordpunct_tokenize("the dog saw the running dog")
assert nltk.FreqDist(nltk.bigrams(words))[("the", "dog")] == 1
assert SnowballStemmer("english").stem("running") == "run"
grammar = nltk.CFG.fromstring("S -> N V N\\nN -> 'dogs' | 'cats'\\nV -> 'chase'")
assert len(list(nltk.ChartParser(grammar).parse("dogs chase cats".split()))) == 1
assert nltk.edit_distance("kitten", "sitting") == 3
""",
    ),
    "textblob": Trial(
        "tells praise from blame, and corrects the spelling of a word",
        """
from textblob import TextBlob, Word
assert TextBlob("What a wonderful, happy day!").sentiment.polarity > 0.5
assert TextBlob("This is terrible.").sentiment.polarity < -0.5
assert Word("speling").correct() == "spelling" and Word("box").pluralize() == "boxes"
""",
    ),
    "scikit-image": Trial(
        "finds and measures two blobs in a noisy picture",
        """
import numpy as np
from skimage import filters, measure, morphology
picture = np.random.default_rng(0).normal(0, 0.1, (100, 100))
picture[20:40, 20:40] += 1
picture[60:90, 50:80] += 1
mask = filters.gaussian(picture, 2)
areas = [r.area for r in measure.regionprops(measure.label(mask > filters.threshold_otsu(mask)))]
assert len(areas) == 2 and min(areas) > 300
""",
    ),
}
