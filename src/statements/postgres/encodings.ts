/**
 * Client encodings that PostgreSQL also accepts as server encodings. In those no byte of a multi-byte character is below
 * 0x80, so a quote or backslash byte is always that character; the rest (SJIS, BIG5, GBK, GB18030, UHC, JOHAB,
 * SHIFT_JIS_2004 and their Windows names) break it. PostgreSQL manual, "Character Set Support", and
 * src/common/encnames.c for the aliases. Names are compared as the server does: letters and digits only, lower case.
 */
const SAFE = new Set(
  `utf8 unicode sqlascii muleinternal
   euccn eucjp eucjis2004 euckr euctw
   latin1 latin2 latin3 latin4 latin5 latin6 latin7 latin8 latin9 latin10
   iso88591 iso88592 iso88593 iso88594 iso88595 iso88596 iso88597 iso88598 iso88599 iso885910 iso885913 iso885914 iso885915 iso885916
   win1250 win1251 win1252 win1253 win1254 win1255 win1256 win1257 win1258 win866 win874 win
   windows1250 windows1251 windows1252 windows1253 windows1254 windows1255 windows1256 windows1257 windows1258 windows866 windows874
   abc tcvn tcvn5712 vscii alt koi8 koi8r koi8u`.split(/\s+/),
);

/** True if text in this client encoding can be split into SQL tokens byte by byte. Unknown names are not safe. */
export function isSafeEncoding(name: string): boolean {
  return SAFE.has(name.toLowerCase().replace(/[^a-z0-9]/g, ''));
}

const UNSAFE = new Set(
  `sjis mskanji shiftjis win932 windows932 shiftjis2004 big5 win950 windows950 gbk win936 windows936 gb18030 uhc win949
   windows949 johab`.split(/\s+/),
);

/** True for the names of the encodings in which text cannot be split; false for anything that names no encoding. */
export function isUnsafeEncoding(name: string): boolean {
  return UNSAFE.has(name.toLowerCase().replace(/[^a-z0-9]/g, ''));
}
