/** CRC-32 (ISO 3309) and CRC-32C (Castagnoli), which clients of S3 send. zlib.crc32 is not in each Node.js 20. */
const CRC32_REVERSED = 0xedb88320;
const CRC32C_REVERSED = 0x82f63b78;

/** @returns four bytes, the highest first */
export type Crc = (bytes: Uint8Array) => Buffer;

export const crc32 = makeCrc(CRC32_REVERSED);
export const crc32c = makeCrc(CRC32C_REVERSED);

function makeCrc(polynomial: number): Crc {
  const table = Int32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte;
    for (let bit = 0; bit < 8; bit++)
      rest = (rest & 1) === 0 ? rest >>> 1 : (rest >>> 1) ^ polynomial;
    return rest;
  });
  return (bytes) => {
    let rest = -1;
    for (const byte of bytes) rest = table[(rest ^ byte) & 0xff] ^ (rest >>> 8);
    const sum = Buffer.alloc(4);
    sum.writeInt32BE(~rest);
    return sum;
  };
}
