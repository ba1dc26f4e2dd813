/** Names of the servers' character sets, as introducers (`_latin1'x'`) and settings use them. */
const CHARACTER_SETS = new Set(
  `armscii8 ascii big5 binary cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 cp932 dec8 eucjpms euckr gb18030 gb2312 gbk
   geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7 macce macroman sjis swe7 tis620 ucs2 ujis utf16
   utf16le utf32 utf8 utf8mb3 utf8mb4`.split(/\s+/),
);

export function isCharacterSet(name: string): boolean {
  return CHARACTER_SETS.has(name);
}

/** In these a byte of a quote or backslash can be the second half of a character, or is not one byte at all. */
const UNSAFE = new Set('big5 cp932 gb18030 gbk sjis ucs2 utf16 utf16le utf32'.split(' '));

/** True if text in it can be read as UTF-8 without mistaking where its strings end. */
export function isSafeCharacterSet(name: string): boolean {
  return isCharacterSet(name) && !UNSAFE.has(name);
}
