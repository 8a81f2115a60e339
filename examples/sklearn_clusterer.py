"""GEDI as a scikit-learn estimator: clusters, density and samples, of points and of images."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.metrics import normalized_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.sklearn import GEDIClusterer


def cluster_points() -> None:
    """Two moons, with all defaults."""
    points, truth = make_moons(1000, noise=0.05, random_state=0)
    gedi = GEDIClusterer(n_clusters=2, random_state=0).fit(points)
    kmeans = make_pipeline(StandardScaler(), KMeans(n_clusters=2, n_init=10, random_state=0))
    for name, labels in (("GEDI", gedi.labels_), ("k-means", kmeans.fit_predict(points))):
        print(f"moons, NMI of {name}: {normalized_mutual_info_score(truth, labels):.3f}")
    for term, value in gedi.terms_.items():
        optimum = gedi.optima_[term]
        print(f"  {term} {value:.3f} nats" + (f", optimum {optimum:.3f}" if optimum is not None else ""))

    elsewhere = np.random.default_rng(0).uniform(points.min(0), points.max(0), size=(1000, 2))
    for name, rows in (("the moons", points), ("a rectangle around them", elsewhere)):
        print(f"mean log p(x) + const on {name}: {gedi.score_samples(rows).mean():.2f} nats")
    print(f"samples: {np.round(gedi.sample(5, steps=2000), 2).tolist()}")


def cluster_images() -> None:
    """Handwritten digits as they are, uint8 (n, 28, 28); a short training of a narrow network."""
    digits = load_data_set("mnist", None)
    images, test = digits.train_images[:2000, 0].numpy(), digits.test_images[:, 0].numpy()
    gedi = GEDIClusterer(n_clusters=10, width=16, epochs=10, random_state=0).fit(images)
    kmeans = KMeans(n_clusters=10, n_init=10, random_state=0).fit(images.reshape(len(images), -1))
    found = {"GEDI": gedi.predict(test), "k-means": kmeans.predict(test.reshape(len(test), -1))}
    for name, labels in found.items():
        nmi = normalized_mutual_info_score(digits.test_labels, labels)
        print(f"{len(test)} test images of digits, NMI of {name}: {nmi:.3f}")


if __name__ == "__main__":
    cluster_points()
    cluster_images()
