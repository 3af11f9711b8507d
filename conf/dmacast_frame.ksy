# SPDX-License-Identifier: BSD-2-Clause
#
# A framed stream of dmacastd for Kaitai Struct; dmacast-frame(5) explains the fields.
meta:
  id: dmacast_frame
  title: Framed stream of dmacastd
  license: BSD-2-Clause
  endian: le
seq:
  - id: frames
    type: frame
    repeat: eos
types:
  frame:
    seq:
      - id: header
        type: header
      - id: skipped
        size: header.header_length - 64
        doc: Fields of a later version.
      - id: payload
        size: header.length
        type:
          switch-on: header.flags.metadata
          cases:
            true: metadata
  header:
    seq:
      - id: magic
        contents: DMCF
      - id: version
        type: u1
        valid: 1
      - id: header_length
        type: u1
        valid:
          min: 64
      - id: flags
        type: flags
        size: 2
      - id: length
        type: u4
        doc: Bytes of payload.
      - id: epoch
        type: u4
        doc: Number of this run of the source.
      - id: sequence
        type: u8
        doc: Number of the block; with END, METADATA or PREAMBLE, of the next one.
      - id: position
        type: u8
        doc: Bytes of the stream before this block.
      - id: realtime_ns
        type: u8
        doc: CLOCK_REALTIME of capture.
      - id: monotonic_ns
        type: u8
        doc: CLOCK_MONOTONIC of capture.
      - id: lost_bytes
        type: u8
        doc: Lost at the source just before this block.
      - id: lost_blocks
        type: u4
      - id: reserved
        type: u4
  flags:
    seq:
      - id: unknown_2
        type: b2
      - id: preamble
        type: b1
      - id: start
        type: b1
      - id: metadata
        type: b1
      - id: end
        type: b1
      - id: short
        type: b1
      - id: loss
        type: b1
      - id: unknown_8
        type: b8
  metadata:
    seq:
      - id: json
        type: str
        size-eos: true
        encoding: UTF-8
