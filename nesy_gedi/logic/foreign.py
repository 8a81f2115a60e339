"""Predicates of other Prologs that ProbLog lacks, and what to write instead."""

from nesy_gedi.logic.source import DECLARATIONS

_NOTHING = "ProbLog has and needs no such declaration; remove the line"
_INSTEAD: dict[str, str] = {
    "!": "there is no cut, every clause is tried; write guards that exclude each other, as X > 0 and X =< 0",
    "-> *->": "there is no if-then-else; write (Condition, Then ; \\+ Condition, Else)",
    "|": "write ; for a disjunction",
    "&": "write , for a conjunction",
    "assert asserta assertz retract retractall abolish recorda recordz recorded erase instance flag gensym "
    "nb_setval nb_getval b_setval b_getval": "a program does not change while it runs; state the facts, or "
    "hand values on as arguments",
    "format print writeq write_canonical write_term tab put_char read read_term see seen tell told open "
    "close halt shell exec getenv get_time statistics": "a program only computes; remove it",
    "bagof setof": "use findall/3, or all/3, which fails where nothing is found; sort/2 sorts",
    "aggregate_all": "use findall/3, then length/2, or sum_list/2 and max_list/2 of library(lists)",
    "ignore": "write (Goal ; \\+ Goal)",
    "catch throw": "there are no exceptions; error/1 stops with a message",
    "atom_length atom_concat atom_chars atom_codes char_code number_codes atomic_list_concat split_string "
    "sub_atom string_concat string_chars string_codes string_length upcase_atom": "use concat/2, join/3, "
    "str2lst/2 or sub_string/5 of library(string)",
    "msort predsort keysort": "use sort/2",
    "sumlist": "use sum_list/2 of library(lists)",
    "repeat": "every solution is found anyway; remove it",
    "copy_term": "call the predicate that makes the term once more",
    "apply": "use call/2, call/3, …",
    "unify_with_occurs_check": "use =",
    "random random_between random_member": "state chances as probabilities, 0.5 :: heads.",
    "include/1": "a program is one file; copy what it needs into it",
    "set_prolog_flag style_check op": _NOTHING,
    " ".join(DECLARATIONS): _NOTHING,
}
FOREIGN: dict[str, str] = {name: hint for names, hint in _INSTEAD.items() for name in names.split()}
"""By name, whatever the number of arguments, or by ``name/arity``."""
