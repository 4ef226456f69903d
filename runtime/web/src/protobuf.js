/** A reader of Protocol Buffers, as much as model files need. */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/**
 * Yield the fields of a message as [number, value]. A value is a number, or a Uint8Array of a text or a message within.
 * Throws RangeError for bytes that are no message.
 */
export function* fieldsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;

  /** Return a number of up to 53 bits. Larger ones, which are negative, lose bits. */
  function varint() {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case VARINT:
        yield [number, varint()];
        break;
      case FIXED64:
        yield [number, view.getFloat64(at, true)];
        at += 8;
        break;
      case LENGTH_DELIMITED: {
        const length = varint();
        if (at + length > bytes.length) throw new RangeError("a field ends after the message");
        yield [number, bytes.subarray(at, at + length)];
        at += length;
        break;
      }
      case FIXED32:
        yield [number, view.getFloat32(at, true)];
        at += 4;
        break;
      default:
        throw new RangeError("a field has an unknown type");
    }
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Return a text field. */
export function textOf(bytes) {
  return decoder.decode(bytes);
}
