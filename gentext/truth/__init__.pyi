from .generated import GeneratedCorpus as GeneratedCorpus
from .grammar import Grammar as Grammar
from .labelled import LabelledCorpus as LabelledCorpus
from .oracle import Oracle as Oracle
