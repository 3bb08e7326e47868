from .corpus import Corpus as Corpus
from .hub import HubText as HubText
from .text_files import LocalText as LocalText
from .text_files import PublishedCorpus as PublishedCorpus
from .tokenizer import BPE as BPE
from .tokenizer import Char as Char
from .tokenizer import Tokenizer as Tokenizer
from .tokenizer import Word as Word
