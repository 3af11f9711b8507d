-- SPDX-License-Identifier: BSD-2-Clause
--
-- Dissector of framed streams of dmacastd for Wireshark; dmacast-frame(5) explains the fields. Copy it to
-- ~/.local/lib/wireshark/plugins, or: tshark -X lua_script:dmacast_frame.lua -d tcp.port==7000,dmacast
-- A connection is recognized by its first frame, on any port, if it is in the capture.

local dmacast = Proto("dmacast", "Framed stream of dmacastd")

local f = {
	magic = ProtoField.string("dmacast.magic", "Magic"),
	version = ProtoField.uint8("dmacast.version", "Version"),
	header_length = ProtoField.uint8("dmacast.header_length", "Header length"),
	flags = ProtoField.uint16("dmacast.flags", "Flags", base.HEX),
	loss = ProtoField.bool("dmacast.flags.loss", "Loss at the source", 16, nil, 0x01),
	short = ProtoField.bool("dmacast.flags.short", "Shorter than block-size", 16, nil, 0x02),
	finish = ProtoField.bool("dmacast.flags.end", "End of the stream", 16, nil, 0x04),
	metadata = ProtoField.bool("dmacast.flags.metadata", "Metadata", 16, nil, 0x08),
	start = ProtoField.bool("dmacast.flags.start", "First block of its epoch", 16, nil, 0x10),
	preamble = ProtoField.bool("dmacast.flags.preamble", "Preamble", 16, nil, 0x20),
	length = ProtoField.uint32("dmacast.length", "Payload length"),
	epoch = ProtoField.uint32("dmacast.epoch", "Epoch", base.HEX),
	sequence = ProtoField.uint64("dmacast.sequence", "Sequence"),
	position = ProtoField.uint64("dmacast.position", "Position"),
	realtime = ProtoField.uint64("dmacast.realtime_ns", "Captured, CLOCK_REALTIME ns"),
	monotonic = ProtoField.uint64("dmacast.monotonic_ns", "Captured, CLOCK_MONOTONIC ns"),
	lost_bytes = ProtoField.uint64("dmacast.lost_bytes", "Bytes lost at the source"),
	lost_blocks = ProtoField.uint32("dmacast.lost_blocks", "Blocks lost at the source"),
	reserved = ProtoField.uint32("dmacast.reserved", "Reserved"),
	json = ProtoField.string("dmacast.metadata", "Metadata"),
	payload = ProtoField.bytes("dmacast.payload", "Payload"),
}

local fields = {}
for _, field in pairs(f) do
	table.insert(fields, field)
end
dmacast.fields = fields

local HEADER = 64

local function frame_length(tvb, pinfo, offset)
	return tvb(offset + 5, 1):uint() + tvb(offset + 8, 4):le_uint()
end

local function dissect_frame(tvb, pinfo, tree)
	local flags = tvb(6, 2):le_uint()
	local skip = tvb(5, 1):uint()
	local length = tvb(8, 4):le_uint()
	local kind = bit.band(flags, 8) ~= 0 and "metadata" or bit.band(flags, 4) ~= 0 and "end" or
		bit.band(flags, 32) ~= 0 and "preamble" or "block"
	local top = tree:add(dmacast, tvb(), "dmacast " .. kind .. " " .. tostring(tvb(16, 8):le_uint64()) ..
		" at " .. tostring(tvb(24, 8):le_uint64()) .. ", " .. length .. " bytes")

	pinfo.cols.protocol = "DMCF"
	top:add(f.magic, tvb(0, 4))
	top:add(f.version, tvb(4, 1))
	top:add(f.header_length, tvb(5, 1))
	local bits = top:add_le(f.flags, tvb(6, 2))
	for _, field in ipairs({ f.loss, f.short, f.finish, f.metadata, f.start, f.preamble }) do
		bits:add_le(field, tvb(6, 2))
	end
	top:add_le(f.length, tvb(8, 4))
	top:add_le(f.epoch, tvb(12, 4))
	top:add_le(f.sequence, tvb(16, 8))
	top:add_le(f.position, tvb(24, 8))
	top:add_le(f.realtime, tvb(32, 8))
	top:add_le(f.monotonic, tvb(40, 8))
	top:add_le(f.lost_bytes, tvb(48, 8))
	top:add_le(f.lost_blocks, tvb(56, 4))
	top:add_le(f.reserved, tvb(60, 4))
	if length > 0 then
		top:add(kind == "metadata" and f.json or f.payload, tvb(skip, length))
	end
	return skip + length
end

function dmacast.dissector(tvb, pinfo, tree)
	dissect_tcp_pdus(tvb, tree, HEADER, frame_length, dissect_frame)
	return tvb:len()
end

local function is_dmacast(tvb, pinfo, tree)
	if tvb:len() < 6 or tvb(0, 4):string() ~= "DMCF" or tvb(4, 1):uint() ~= 1 then
		return false
	end
	pinfo.conversation = dmacast
	dmacast.dissector(tvb, pinfo, tree)
	return true
end

DissectorTable.get("tcp.port"):add_for_decode_as(dmacast)
dmacast:register_heuristic("tcp", is_dmacast)
