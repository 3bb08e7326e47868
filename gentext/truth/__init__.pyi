from .generated import GeneratedCorpus as GeneratedCorpus
from .grammar import Grammar as Grammar
from .oracle import Oracle as Oracle
