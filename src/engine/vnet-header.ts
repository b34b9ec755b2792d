/** Moves virtio headers. Some of their fields count from the frame's start, and change with it. */
import {
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_FLAG_NEEDS_CSUM,
  VNET_GSO_SIZE,
  VNET_HDR_BYTES,
  VNET_HDR_LEN,
} from '../wire/fields.ts';

/** Byte order of the host, which virtio_net_hdr has. */
export const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Removes the link layer: moves the virtio header to right before `ip`. @returns its new offset */
export function unwrap(view: DataView, vnet: number, ip: number): number {
  const linkBytes = ip - vnet - VNET_HDR_BYTES;
  if (linkBytes !== 0) moveVnetHeader(view, vnet, ip - VNET_HDR_BYTES, -linkBytes);
  return ip - VNET_HDR_BYTES;
}

/** Moves a virtio header, and adds `shift` to what counts from the frame's start. The two places may overlap. */
export function moveVnetHeader(view: DataView, from: number, to: number, shift: number): void {
  const flagsAndType = view.getUint16(from + VNET_FLAGS);
  const hdrLen = view.getUint16(from + VNET_HDR_LEN, LITTLE_ENDIAN);
  const gsoSize = view.getUint16(from + VNET_GSO_SIZE);
  const csumStart = view.getUint16(from + VNET_CSUM_START, LITTLE_ENDIAN);
  const csumOffset = view.getUint16(from + VNET_CSUM_OFFSET);
  const hasChecksum = ((flagsAndType >>> 8) & VNET_FLAG_NEEDS_CSUM) !== 0;
  view.setUint16(to + VNET_FLAGS, flagsAndType);
  view.setUint16(to + VNET_HDR_LEN, hdrLen === 0 ? 0 : hdrLen + shift, LITTLE_ENDIAN);
  view.setUint16(to + VNET_GSO_SIZE, gsoSize);
  view.setUint16(to + VNET_CSUM_START, hasChecksum ? csumStart + shift : csumStart, LITTLE_ENDIAN);
  view.setUint16(to + VNET_CSUM_OFFSET, csumOffset);
}
