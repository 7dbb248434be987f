//! Where mutation begins: what the project's own tests use, and what was found before.

use std::fs;
use std::path::{Path, PathBuf};

/// Queries in both languages.
const QUERIES: &[&str] = &[
    "SELECT * FROM Msvm_ConcreteJob",
    "SELECT Name, JobState, __CLASS FROM CIM_Job WHERE (JobState < 7 OR Name <> 'it\\'s') AND N IS NOT NULL",
    "SELECT * FROM Job WHERE Name LIKE '[%]%_[^a-cx][]-]abc%' AND __this ISA X AND TargetInstance ISA \"Y\"",
    "SELECT * FROM Job WHERE NOT (a = 1 OR b >= -2.5 OR 18446744073709551615 > c) AND d = TRUE AND e = NULL",
    "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ConcreteJob AND \
     SourceInstance.CIM_ConcreteJob::JobState <> PreviousInstance.CIM_ConcreteJob::JobState",
    "SELECT j.Name, Source.* FROM Job AS j WHERE ANY Status[*] = 17 AND NOT EVERY A.B[*] IS NULL AND j ISA X",
    "SELECT * FROM Job WHERE S = #'It''s' AND Name LIKE 'a*\\\\.[b-d]*.*abc' AND A.D[1] > 0x1F AND B = 0101B",
    "ASSOCIATORS OF {X.A=\"1\"} WHERE ClassDefsOnly",
    "SELECT * FROM X WITHIN 5 WHERE A = 1 GROUP WITHIN 5 HAVING N > 5",
];

/// Paths and addresses.
const URIS: &[&str] = &[
    "CIM_Job",
    "root/cimv2:CIM_Job.InstanceID=\"a\\\"b\\\\c\",N=-5,B=TRUE,R=1.5e3",
    "//wbem.example.com:5989/root/cimv2:CIM_A.Left=\"root/x:B.K=\\\"v\\\"\"",
    "root%2Fcimv2%3AACME_ConcreteJob.InstanceID%3D%22ACME%3AJob%3A7%22",
    "X=\"only\"",
    "X=@",
    "https://[::1]:5989/cimom",
    "http://host",
    "unix:///run/cimwright.sock",
];

/// What providers say.
const PROVIDERS: &[&str] = &[
    "{\"portion\":{\"id\":7,\"last\":true,\"instances\":[{\"class\":\"X\",\"path\":{\"namespace\":\"root/x\",\"class\":\"X\",\"keys\":[[\"K\",\
     {\"string\":\"a\"}]]},\"properties\":[{\"name\":\"N\",\"type\":\"uint16\",\"array\":true,\"value\":{\"array\":[{\"uint16\":7},null]}}]}]}}",
    "{\"answer\":{\"id\":1,\"answer\":{\"method\":{\"return_value\":0,\"out\":[{\"name\":\"T\",\"type\":\"datetime\",\"value\":{\"datetime\":\
     \"20260101000000.000000+000\"}},{\"name\":\"R\",\"value\":{\"real32\":\"inf\"}}]}}}}",
    "{\"answer\":{\"id\":1,\"answer\":{\"refused\":{\"job\":{\"family\":\"f\",\"kind\":\"k\",\"payload\":\"\",\"name\":\"n\",\"schedule\":\
     {\"job_run_times\":2,\"run_day\":-1}},\"reason\":[{\"id\":\"X1\",\"message\":\"m\",\"type\":6,\"severity\":5,\"status\":1,\"code\":4}]}}}}",
    "{\"answer\":{\"id\":1,\"answer\":{\"failed\":{\"error\":{\"status\":6,\"description\":\"d\",\"details\":[]}}}}}",
    "{\"result\":{\"id\":1,\"name\":\"N\",\"value\":{\"instance\":{\"class\":\"X\"}}}}",
    "{\"raise\":{\"id\":1,\"namespace\":\"root/x\",\"indication\":{\"class\":\"X\",\"properties\":[]}}}",
    "{\"hello\":{\"versions\":[1],\"name\":\"x\",\"declarations\":[],\"classes\":[]}}",
];

/// Heads of requests.
const HEADS: &[&str] = &[
    "POST /cimom HTTP/1.1\r\nHost: a\r\nContent-Type: application/xml; charset=\"utf-8\"\r\nCIMOperation: MethodCall\r\n\
     CIMMethod: EnumerateQualifiers\r\nCIMObject: root%2Fcimv2\r\n",
    "M-POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nMan: http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=73\r\n\
     73-CIMOperation: MethodCall\r\n73-CIMMethod: EnumerateQualifiers\r\n73-CIMObject: root/cimv2\r\n",
    "POST /wsman HTTP/1.1\r\nHost: a\r\nContent-Type: application/soap+xml\r\n",
    "GET /metrics HTTP/1.0\r\n",
    "POST /cimom HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/xml\r\nTE: trailers\r\n",
];

/// Envelopes as clients write them.
const ENVELOPES: &[&str] = &[
    "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
     xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" xmlns:n=\"http://schemas.xmlsoap.org/ws/2004/09/enumeration\"><s:Header>\
     <a:Action>http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate</a:Action><a:MessageID>uuid:1</a:MessageID><w:ResourceURI>\
     http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/*</w:ResourceURI><w:MaxEnvelopeSize>153600</w:MaxEnvelopeSize>\
     <w:OperationTimeout>PT60S</w:OperationTimeout></s:Header><s:Body><n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>20</w:MaxElements>\
     <w:Filter Dialect=\"http://schemas.microsoft.com/wbem/wsman/1/WQL\">SELECT * FROM Msvm_ConcreteJob</w:Filter></n:Enumerate></s:Body>\
     </s:Envelope>",
    "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
     xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" xmlns:p=\"http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/X\">\
     <s:Header><a:Action>http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/X/GetError</a:Action><a:MessageID>uuid:2</a:MessageID>\
     <w:ResourceURI s:mustUnderstand=\"true\">http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/X</w:ResourceURI><w:SelectorSet>\
     <w:Selector Name=\"InstanceID\">7</w:Selector></w:SelectorSet></s:Header><s:Body><p:GetError_INPUT><p:A>1</p:A></p:GetError_INPUT></s:Body>\
     </s:Envelope>",
    "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason>\
     <s:Text xml:lang=\"en\">no</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>",
];

/// What begins a login, and a sealed body. A ticket of Kerberos, which is encrypted, stands in `fuzz/seeds/token`.
const TOKENS: &[&[u8]] = &[
    b"NTLMSSP\0\x01\0\0\0\x31\x02\x08\x62\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0f",
    b"NTLMSSP\0\x03\0\0\0\0\0\0\0\x58\0\0\0\x30\0\x30\0\x58\0\0\0\0\0\0\0\x58\0\0\0\x06\0\x06\0\x58\0\0\0\0\0\0\0\x58\0\0\0\0\0\0\0\
      \x58\0\0\0\x31\x02\x08\x62\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"\x60\x22\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x18\x30\x16\xa0\x0e\x30\x0c\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a\xa2\x04\x04\x02ab",
    b"\xa1\x08\x30\x06\xa2\x04\x04\x02ab",
    b"--Encrypted Boundary\r\n\tContent-Type: a\r\n\tOriginalContent: type=b;Length=2\r\n--Encrypted Boundary\r\n\
      \tContent-Type: application/octet-stream\r\n\x04\0\0\0abcdxy--Encrypted Boundary--\r\n",
    b"\x05\x02\0\0\0\x21\0\x01\0\x01T\0\x04HTTP\0\0\0\x01\0\0\0\0\x01\0\x12\0\x04aaaa\0\0\0\x01",
];

/// MOF as WMI has it, beside that of the project.
const MOF: &[&str] = &[
    "#pragma namespace (\"\\\\\\\\.\\\\root\\\\x\")\n#pragma include (\"a.mof\")\n[Dynamic, Provider(\"P\"), Locale(1033)]\nclass X : A\n{\n  \
     [Key, Read, MaxLen(256)] string Name = \"a\" \"b\";\n  [Write] uint8 N[3] = { 1, 0x2, 011 };\n  A REF Other;\n  \
     object:A Inner;\n  [Static] uint32 Go([In] string P[], [Out, In(FALSE)] A REF R);\n};\n\
     instance of A as $A { Name = \"it\"; };\ninstance of X { Name = \"\\x41\\n\"; Other = $A; N = { 1, 2, 3 }; };\n",
    "Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride, ToSubclass);\n\
     Qualifier Values : string[], Scope(property, method, parameter), Flavor(EnableOverride, ToSubclass, Translatable);\n\
     class C { [Key] char16 A = 'x'; real32 B = 1.5e3; datetime D = \"20240101000000.000000+000\"; boolean E = TRUE;\n\
     [Values { \"a\", \"b\" } : Translatable] sint64 F = -9223372036854775808; };\n",
];

/// The seeds of a target and what was found with it before. `root` is the directory of the project.
pub fn of(target: &str, root: &Path) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let golden = root.join("crates/codec/golden/cimxml");
    let mut seeds = match target {
        "mof" => {
            let mut seeds = texts(MOF);
            for file in files(&root.join("schema"), ".mof") {
                seeds.extend(items(&fs::read_to_string(file).unwrap_or_default()));
            }
            seeds
        }
        "request" => contents(&files(&golden, ".req.xml")),
        "response" => contents(&[files(&golden, ".rsp.xml"), files(&golden, ".req.xml")].concat()),
        "query" => texts(QUERIES),
        "uri" => texts(URIS),
        "provider" => texts(PROVIDERS),
        "wsman" => texts(ENVELOPES),
        "token" => {
            let stored = contents(&files(&root.join("fuzz/seeds/token"), ""));
            TOKENS.iter().map(|token| token.to_vec()).chain(stored).collect()
        }
        "http" => texts(HEADS),
        _ => Vec::new(),
    };
    seeds.extend(contents(&regressions(target, root)));
    seeds
}

/// The inputs that were findings once.
pub fn regressions(target: &str, root: &Path) -> Vec<PathBuf> {
    files(&root.join("fuzz/regressions").join(target), "")
}

/// The items of a MOF text, a few at a time: whole files are too long to be changed often.
fn items(text: &str) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for item in text.split_inclusive(";\n\n") {
        piece.push_str(item);
        if piece.len() > 3000 {
            pieces.push(std::mem::take(&mut piece).into_bytes());
        }
    }
    pieces.push(piece.into_bytes());
    pieces
}

/// The files below a directory whose names end so, in order.
fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn contents(files: &[PathBuf]) -> Vec<Vec<u8>> {
    files.iter().filter_map(|file| fs::read(file).ok()).collect()
}
